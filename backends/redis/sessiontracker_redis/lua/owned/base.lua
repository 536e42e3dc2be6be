-- An owner's slot: six keys, however many sessions. The heads of the active sessions, of the
-- finished ones, and the locks, are fields of hashes by the name of their key (A, F and L); the
-- payloads stand apart, so that sliding, counting and expiring move none; O is the owner's own.
local spread = unpack -- of a table, which is not what base.lua means by it
--#include base
local O, PAYLOADS = KEYS[6], { [A] = KEYS[4], [F] = KEYS[5] }
local name = ARGV[#ARGV]

local LIMIT_REACHED, LISTED, COUNTED, ENDED, FOUND_SHARED, SAVED_SHARED = 13, 14, 15, 16, 17, 18
