import asyncio


async def fail(n):
    await asyncio.sleep(0)
    if not n:
        raise ValueError("deep")
    await fail(n - 1)


async def main():
    print(await asyncio.gather(fail(2), return_exceptions=True))
    await fail(2)


asyncio.run(main())
