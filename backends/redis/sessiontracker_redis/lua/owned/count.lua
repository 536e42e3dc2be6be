-- CountOwner
--#include owned/base
local count = 0
for _, head in ipairs(call('HVALS', A)) do
  if #head >= SIZE and ms < unpack('>I7', head, 56) then
    count = count + 1
  end
end
return { COUNTED, count }
