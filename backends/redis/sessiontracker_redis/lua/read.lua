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
--#include writer
local text = load(true, true)
local hold = hold_at(5)
if is_lost(hold) then
  return { LOST }
end
local changed = active and register(hold)
local answer, slid = text, false
if ARGV[2] ~= '' then
  answer = finished and redis.call('GET', F) or { active and IS_ACTIVE or MISSING }
elseif not active then
  answer = absent()
elseif slides then
  answer, slid = slid_if_due(text, every)
end
if slid then
  put_slide()
end
if slid or changed then
  commit()
end
return answer
