class Stop(KeyboardInterrupt):
    pass


raise Stop("of its own kind")
