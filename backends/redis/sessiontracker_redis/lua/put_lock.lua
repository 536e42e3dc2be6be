-- The lock in its place, until `at`.
store(L, pack(LOCK, 2, lock.token, lock.kept, at, lock.released, lock.deed, lock.time,
  lock.ticket, lock.lease, lock.till, #lock.holder) .. lock.holder
  .. (lock.queue[1] and cmsgpack.pack(lock.queue) or ''), at)
