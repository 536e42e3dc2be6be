-- The time, and records: a session is one string of a head and the payload.

local A, F, L = KEYS[1], KEYS[2], KEYS[3] -- the active session, the finished one, the lock
local FOREVER, REMEMBERED = 9007199254740991, 60000

-- µs and ms since 1970: by the server's clock, or by one that a test moves.
local now = tonumber(ARGV[1])
local real = not now
if real then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local ms = (now - now % 1000) / 1000

local HEAD, SIZE = '>Bc8c8I6I6I6I6I7I7I7I2', 64 -- and then the owner, as long as the last says

local function parse(text)
  if #text < SIZE or string.byte(text) ~= 1 then
    error('BROKEN: this is no session')
  end
  local _, life, write, version, started, updated, slid, idle, ends, expires, size =
    struct.unpack(HEAD, text)
  return {
    life = life, write = write, version = version, started = started, updated = updated,
    slid = slid, idle = idle, ends = ends, expires = expires, size = size,
  }
end

local function due(record, every)
  if record.idle == 0 then
    return false
  end
  local most = math.floor(record.idle / 20)
  if every and every < most then
    most = every
  end
  return ms - record.slid > most
end
