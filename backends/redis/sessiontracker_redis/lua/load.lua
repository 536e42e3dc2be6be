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
--#include load_lock
if is_over then
  active = nil
end
if finished and ms >= finished.expires then
  finished = nil
end
