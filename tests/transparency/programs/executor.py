from concurrent.futures import ProcessPoolExecutor


def half(x):
    return x / 2 if x else {}["zero"]


if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        print(list(pool.map(half, [2, 4])))
        try:
            pool.submit(half, 0).result()
        except KeyError as error:
            print(repr(error))
