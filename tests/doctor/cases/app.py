from tests.doctor.case import Case, log, told

CASES = {
    "app.signature-drift": Case(
        fires=(
            log("E   TypeError: f() got an unexpected keyword argument 'b'"),
            log("E           TypeError: g() got an unexpected keyword argument 'c'"),
            log("TypeError: Agent.__init__() missing 2 required positional arguments: 'a' and 'b'"),
            log("E           TypeError: g() got an unexpected keyword argument 'c'"),
            log("TypeError: f() takes 1 positional argument but 2 were given"),
            log("TypeError: f() takes from 1 to 2 positional arguments but 3 were given"),
            log("TypeError: f() got multiple values for argument 'a'"),
            told(
                "python",
                "TypeError",
                "TypeError: f() missing 1 required keyword-only argument: 'a'",
            ),
        ),
        silent=(
            log("TypeError: unsupported operand type(s) for +: 'int' and 'str'"),
            log("TypeError: 'NoneType' object is not callable"),
            log("unexpected keyword argument"),
        ),
    ),
}
