-- Read: finished, slide, touch_every, hold.
--#include record
local slides, every = ARGV[3] ~= '', tonumber(ARGV[4])
if ARGV[2] == '' and ARGV[5] == '' then
  local text = redis.call('GET', A)
  if text then
    local record = parse(text)
    if ms < record.expires and not (slides and due(record, every)) then
      return text
    end
  end
end
--#include lock
load()
local hold = hold_at(5)
if is_lost(hold) then
  return { LOST }
end
local changed = active and register(hold)
local answer, slid
if ARGV[2] ~= '' then
  answer = finished and redis.call('GET', F) or { active and IS_ACTIVE or MISSING }
elseif not active then
  answer = absent()
elseif slides then
  answer, slid = found(every)
else
  answer = redis.call('GET', A)
end
if slid then
  put_slide()
end
if slid or changed then
  commit()
end
return answer
