-- What a key holds at this time: its sessions, its lock, and the last deed. See
-- sessiontracker/machine.py, which says why. The active session is loaded `whole`, as `text`,
-- or only its head; the finished one if it `matters`, or there is no active one.
local text
if whole then
  text = call('GET', A)
else
  text = call('GETRANGE', A, 0, SIZE + 255)
end
active_lasts = 0
if text and text ~= '' then
  active, active_lasts = parse(A, text)
end
local is_over = active and ms >= active.expires
if matters or is_over or not active then
  local other = call('GETRANGE', F, 0, SIZE + 255)
  finished_lasts = 0
  if other ~= '' then
    finished, finished_lasts = parse(F, other)
  end
end
local stored = call('GET', L)
if stored then
  if #stored < LOCK_SIZE or string.byte(stored) ~= 2 then
    error('BROKEN: this is no lock')
  end
  local _, token, kept, lasts, released, deed, time, ticket, lease, till, size =
    struct.unpack(LOCK, stored)
  local after = LOCK_SIZE + size
  lock = {
    there = true, token = token, kept = kept, lasts = lasts, released = released,
    deed = deed, time = time, ticket = ticket, lease = lease, till = till,
    holder = sub(stored, LOCK_SIZE + 1, after),
    queue = #stored > after and cmsgpack.unpack(sub(stored, after + 1)) or {},
  }
  if ticket ~= NO_ID and ms >= till then
    hand_over()
  end
else
  -- The deed is known from what it left, as long as that says all of it: see remember.lua.
  local last = active or finished
  lock = {
    token = NO_TOKEN, kept = 0, lasts = 0, released = NO_ID,
    deed = last and last.write or NO_ID, time = last and last.updated or 0,
    ticket = NO_ID, lease = NO_TOKEN, till = 0, holder = '', queue = {},
  }
end
if is_over then
  active = nil
end
if finished and ms >= finished.expires then
  finished = nil
end
