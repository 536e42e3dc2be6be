-- Which keys, and what time it is.

local A, F, L = KEYS[1], KEYS[2], KEYS[3] -- the active session, the finished one, the lock

-- µs and ms since 1970: by the server's clock, or by one that a test moves.
local now = tonumber(ARGV[1])
local real = not now
if real then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local ms = (now - now % 1000) / 1000

local function due(slid, idle, every)
  if idle == 0 then
    return false
  end
  local most = math.floor(idle / 20)
  if every and every < most then
    most = every
  end
  return ms - slid > most
end
