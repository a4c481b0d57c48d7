"""Episodes over many workers: ``rollouts``, in this process, over processes, or over a Ray cluster.

``rollouts`` is what users call; ``player`` plays one episode; ``processes`` and ``ray_workers`` are where players live;
``permits`` and ``purse`` keep one limit for all workers of a cluster.
"""
