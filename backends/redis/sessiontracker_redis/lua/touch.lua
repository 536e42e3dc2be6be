-- Touch: life.
--#include base
--#include store
--#include record
--#include lock
local whole, matters, changed = false, false, true
--#include load
if not active then
  return { finished and IS_FINISHED or MISSING }
end
if ARGV[2] ~= '' and ARGV[2] ~= active.life then
  return { MISSING }
end
--#include slide
--#include put_slid
--#include commit
return fixed(active) .. active.owner
