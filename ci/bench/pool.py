"""Work that is done by several threads."""

import concurrent.futures


def at_once(count, work, items):
    """What `work` returns for each item, in their order, with so many on their way. The first failure ends it: what was not begun is left."""
    pool = concurrent.futures.ThreadPoolExecutor(count)
    try:
        return list(pool.map(work, items))
    finally:
        pool.shutdown(cancel_futures=True)
