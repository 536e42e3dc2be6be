-- What a key holds at this time: its sessions, its lock, and the last deed. See
-- sessiontracker/machine.py, which says why. The active session is loaded `whole`, as `text`,
-- or only its head; the finished one if it `matters`, or there is no active one.
local text
if whole then
  text = redis.call('GET', A)
else
  text = redis.call('GETRANGE', A, 0, SIZE + 255)
end
active_lasts = 0
if text and text ~= '' then
  active, active_lasts = parse(A, text)
end
local is_over = active and ms >= active.expires
if matters or is_over or not active then
  local other = redis.call('GETRANGE', F, 0, SIZE + 255)
  finished_lasts = 0
  if other ~= '' then
    finished, finished_lasts = parse(F, other)
  end
end
local stored = redis.call('GET', L)
if stored then
  if string.byte(stored) ~= 0x9b or string.byte(stored, 2) ~= 1 then
    error('BROKEN: this is no lock')
  end
  local all = cmsgpack.unpack(stored)
  lock = {
    there = true, token = all[2], kept = all[3], released = all[4],
    deed = all[9], time = all[10], queue = all[11],
  }
  if all[5] ~= '' then
    lock.lease = { ticket = all[5], token = all[6], till = all[7], holder = all[8] }
    if ms >= all[7] then
      hand_over()
    end
  end
else
  -- The deed is known from what it left, as long as that says all of it: see remember.lua.
  local last = active or finished
  lock = {
    token = NO_TOKEN, kept = 0, released = '', queue = {},
    deed = last and last.write or '', time = last and last.updated or 0,
  }
end
if is_over then
  active = nil
end
if finished and ms >= finished.expires then
  finished = nil
end
