-- In line: at the end the first time, then a sign of life where it stands.
looks = min(looks, FOREVER)
local at = place_in_queue(ticket)
if at then
  -- Looks in quick succession say nothing new, and then change nothing; but for those at a claim,
  -- which may begin with this one, and has to be survived.
  local _, every, seen = unpack(WAITER, lock.queue, at)
  changed = every ~= looks or ms - seen >= floor(looks / 4) or lock.lease == CLAIM
else
  changed = true
  if ms >= lock.doubt then
    prune(2)
  end
  at = #lock.queue + 1
end
local ahead = (at - 1) / WAITER_SIZE
if changed then
  local name = pack(NAME, #holder, holder, #ARGV[10], ARGV[10])
  local place = string.find(lock.names, name, 1, true)
  if not place then
    place, lock.names = #lock.names + 1, lock.names .. name
  end
  lock.queue = sub(lock.queue, 1, at - 1) .. pack(WAITER, ticket, looks, ms, place - 1)
    .. sub(lock.queue, at + WAITER_SIZE)
  lock.latest, lock.doubt = max(lock.latest, ms + 2 * looks), min(lock.doubt, ms + 2 * looks)
end
-- All look when the lease ends: those ahead may be dead by then.
local look_in = max(1, min(looks, lock.till - ms))
