-- Which keys, what time it is, how things are stored, and what scripts answer with.

local call, byte, sub, format = redis.call, string.byte, string.sub, string.format
local floor, max, min = math.floor, math.max, math.min
local pack, unpack = struct.pack, struct.unpack

local A, F, L = KEYS[1], KEYS[2], KEYS[3] -- the active session, the finished one, the lock

-- µs and ms since 1970: by the server's clock, or by one that a test moves.
local now = tonumber(ARGV[1])
local real = not now
if real then
  local time = call('TIME')
  now = time[1] * 1000000 + time[2]
end
local ms = floor(now / 1000)

local FOREVER, REMEMBERED = 9007199254740991, 60000
-- Of a session, before its owner, and of a lock, before its holder, which are as long as the
-- last number says.
local HEAD, SIZE = '>Bc8c8I6I6I6I6I7I7I7I2', 64
local LOCK, LOCK_SIZE = '>Bc19I7I7c8c8I6c8c19I7I2', 92
local NO_ID = '\0\0\0\0\0\0\0\0' -- of a deed, or of a ticket: nobody holds the lock
local NO_TOKEN = '0000000000000000000' -- tokens have 19 digits: no number holds them
local CLAIM = NO_TOKEN -- of a lease that is only kept free for a waiter

local SAVED, IN_PROGRESS, QUEUED, RELEASED, MISSING, IS_FINISHED = 1, 2, 3, 4, 5, 6
local IS_ACTIVE, LOCKED, LOST, STALE, UNKNOWN, DELETED, PONG = 7, 8, 9, 10, 11, 12, 19

local function due(slid, idle, every)
  if idle == 0 then
    return false
  end
  local most = floor(idle / 20)
  if every and every < most then
    most = every
  end
  return ms - slid > most
end
