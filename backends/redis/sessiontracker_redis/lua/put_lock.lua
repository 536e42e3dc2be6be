-- The lock in its place, until `at`. Long texts are made once: Lua reads each byte of a new one.
local head = pack(LOCK, 3, lock.token, lock.kept, at, lock.released, lock.deed, lock.time,
  lock.ticket, lock.lease, lock.till, #lock.holder) .. lock.holder
if lock.queue == '' then
  store(L, head, at)
else
  store(L, head .. pack(QUEUE, min(lock.latest, FOREVER), min(lock.doubt, FOREVER), #lock.names)
    .. lock.names .. lock.queue, at)
end
