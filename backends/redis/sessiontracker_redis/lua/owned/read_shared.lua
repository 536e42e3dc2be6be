-- ReadShared
--#include owned/all
load_owner()
if owner.version == NO_TOKEN or gone_by_now() then
  return { FOUND_SHARED, false }
end
return { FOUND_SHARED, shown }
