-- ListOwner: whether the finished ones. Heads and payloads as they are stored, and when that is.
--#include owned/base
local place = ARGV[2] ~= '' and F or A
return { LISTED, ms, call('HGETALL', place), call('HGETALL', PAYLOADS[place]), call('GET', O) }
