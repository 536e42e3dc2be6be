-- Read: finished, slide, touch_every, hold.
--#include owned/base
local over, slides, every, held = ARGV[2] ~= '', ARGV[3] ~= '', tonumber(ARGV[4]), ARGV[5] ~= ''
if not over and not held then
  -- Most end here: there is an active session, whose timeout need not begin anew.
  local head = call('HGET', A, name)
  if head and #head >= SIZE and byte(head) == 1 then
    local slid, idle, _, expires = unpack('>I6I7I7I7', head, 36)
    if ms < expires and not (slides and due(slid, idle, every)) then
      local payload, shown = call('HGET', PAYLOADS[A], name), call('GET', O)
      if payload then
        return shown and { head .. payload, shown } or head .. payload
      end
    end
  end
end
--#include owned/store
--#include record
--#include lock
--#include owned/owner
--#include owned/key
local hold_at, changed = 5, false
load_owner()
load(true)
--#include hold
if lost then
  return { LOST }
end
local slid, answer
if active then
  --#include register
end
if over then
  answer = { active and IS_ACTIVE or MISSING }
  if finished then
    answer = with_shared(text_of(F, fixed(finished) .. finished.owner))
  end
elseif not active then
  answer = { finished and IS_FINISHED or MISSING }
else
  if slides then
    --#include slid
  end
  answer = with_shared(text)
end
if slid then
  changed = true
  --#include owned/put_slid
end
if changed then
  commit()
end
return answer
