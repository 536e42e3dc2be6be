-- WriteShared: id, version, write, payload, keep, since.
--#include owned/all
load_owner()
local id, since = ARGV[2], tonumber(ARGV[7])
if owner.version ~= NO_TOKEN and owner.write == id then
  return { SAVED_SHARED, owner.version }
end
local last = owner.version
settle_owner()
if owner.version ~= ARGV[3] or owner.write ~= ARGV[4] then
  -- Somebody may have built upon what a repeat has done, unless all was done before it.
  if since > 0 and floor(tonumber(owner.version) / 1000) >= since then
    return { UNKNOWN }
  end
  return { STALE, owner.version, 1 }
end
--#include rising
owner.version, owner.write, owner.payload = rising, id, ARGV[5]
owner.kept = min(ms + tonumber(ARGV[6]), FOREVER)
put_owner()
return { SAVED_SHARED, owner.version }
