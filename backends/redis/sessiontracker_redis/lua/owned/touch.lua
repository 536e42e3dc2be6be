-- Touch: life.
--#include owned/all
load(false)
if not active then
  return { finished and IS_FINISHED or MISSING }
end
if ARGV[2] ~= '' and ARGV[2] ~= active.life then
  return { MISSING }
end
--#include slide
--#include owned/put_slid
commit()
return fixed(active) .. active.owner
