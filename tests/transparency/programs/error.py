def inner(x):
    return 1 / x


def outer():
    try:
        inner(0)
    except ZeroDivisionError as error:
        raise ValueError("no number\x1b[31m") from error


try:
    outer()
except ValueError:
    {}["key"]
