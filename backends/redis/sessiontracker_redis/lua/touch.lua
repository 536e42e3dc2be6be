-- Touch: life.
--#include clock
--#include record
--#include lock
load()
if not active then
  return absent()
end
if ARGV[2] ~= '' and ARGV[2] ~= active.life then
  return { MISSING }
end
slide()
put_slide()
commit()
return { SAVED, head(active) }
