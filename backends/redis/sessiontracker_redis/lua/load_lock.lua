-- The lock as it is `stored`, and the last deed; without one, what the sessions tell.
if stored then
  if #stored < LOCK_SIZE or byte(stored) ~= 3 then
    error('BROKEN: ' .. L .. ' holds no lock')
  end
  local _, token, kept, lasts, released, deed, time, ticket, lease, till, size =
    struct.unpack(LOCK, stored)
  local after = LOCK_SIZE + size
  if #stored < after or token > LAST_TOKEN or lease > LAST_TOKEN
    or string.find(token, '%D') or string.find(lease, '%D') then
    error('BROKEN: ' .. L .. ' holds a lock without a token')
  end
  lock = {
    there = true, token = token, kept = kept, lasts = lasts, released = released,
    deed = deed, time = time, ticket = ticket, lease = lease, till = till,
    holder = sub(stored, LOCK_SIZE + 1, after), latest = 0, doubt = FOREVER, names = '', queue = '',
  }
  if #stored > after then
    lock.latest, lock.doubt, lock.names, lock.queue = read_queue(stored, after + 1)
  end
  if ticket ~= NO_ID and ms >= till then
    hand_over()
  end
else
  -- The deed is known from what it left, as long as that says all of it: see remember.lua.
  local last = active or finished
  lock = {
    token = NO_TOKEN, kept = 0, lasts = 0, released = NO_ID,
    deed = last and last.write or NO_ID, time = last and last.updated or 0,
    ticket = NO_ID, lease = NO_TOKEN, till = 0, holder = '',
    latest = 0, doubt = FOREVER, names = '', queue = '',
  }
end
