-- Read, of one key or of several: finished, slide, touch_every, hold.
--#include base
local over, slides, every, held = ARGV[2] ~= '', ARGV[3] ~= '', tonumber(ARGV[4]), ARGV[5] ~= ''
local answers, left = {}, {}
for index = 1, #KEYS, 3 do
  -- Most end here: there is an active session, whose timeout need not begin anew.
  local text = not over and not held and redis.pcall('GET', KEYS[index])
  if type(text) == 'string' and #text >= SIZE and byte(text) == 1 then
    local slid, idle, _, expires = unpack('>I6I7I7I7', text, 36)
    if ms >= expires or slides and due(slid, idle, every) then
      text = nil
    end
  else
    text = nil
  end
  answers[#answers + 1] = text or false
  if not text then
    left[#left + 1] = #answers
  end
end
if left[1] then
  --#include store
  local function read(A, F, L)
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
    if over then
      answer = finished and call('GET', F) or { active and IS_ACTIVE or MISSING }
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
  end
  for _, number in ipairs(left) do
    local at = 3 * number
    local fine, answer = pcall(read, KEYS[at - 2], KEYS[at - 1], KEYS[at])
    --#include caught
    answers[number] = answer
  end
end
return #KEYS == 3 and answers[1] or answers
