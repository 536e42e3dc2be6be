-- The deed `id` is kept with the lock, if there is one, or if what it leaves does not tell it.
lock.deed, lock.time = id, max(ms, lock.time)
lock.needed = lock.needed or lock.time ~= ms
