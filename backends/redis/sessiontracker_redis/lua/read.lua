-- Read: finished, slide, touch_every, hold.
--#include clock
local slides, every = ARGV[3] ~= '', tonumber(ARGV[4])
if ARGV[2] == '' and ARGV[5] == '' then
  -- Most reads end here: there is an active session, whose timeout need not begin anew.
  local text = redis.call('GET', A)
  if text and #text >= 64 and string.byte(text) == 1 then
    local slid, idle, _, expires = struct.unpack('>I6I7I7I7', text, 36)
    if ms < expires and not (slides and due(slid, idle, every)) then
      return text
    end
  end
end
--#include record
--#include lock
local whole, matters, hold_at, changed = true, true, 5, false
--#include load
--#include hold
if lost then
  return { LOST }
end
local answer, slid
if active then
  --#include register
end
if ARGV[2] ~= '' then
  answer = finished and redis.call('GET', F) or { active and IS_ACTIVE or MISSING }
elseif not active then
  answer = { finished and IS_FINISHED or MISSING }
else
  if slides then
    --#include slid
  end
  answer = text
end
if slid then
  changed = true
  --#include put_slid
end
--#include commit
return answer
