-- Records: a session is one string of a head, its owner and the payload.

local FOREVER, REMEMBERED = 9007199254740991, 60000
local HEAD, SIZE = '>Bc8c8I6I6I6I6I7I7I7I2', 64 -- and then the owner, as long as the last says

local active, finished -- the heads of the sessions that are there
local active_lasts, finished_lasts -- until when their keys do; 0: no key; nil: not looked yet

local function expiry(slid, idle, ends)
  return idle > 0 and math.min(slid + idle, ends) or ends
end

-- A record outlives its session by as long as the deed that left it is remembered.
local function lasting(record)
  return math.max(record.expires, record.updated + REMEMBERED)
end

local function parse(key, text)
  if #text < SIZE or string.byte(text) ~= 1 then
    error('BROKEN: this is no session')
  end
  local _, life, write, version, started, updated, slid, idle, ends, expires, size =
    struct.unpack(HEAD, text)
  local owner = ''
  if size > 0 then
    if #text < SIZE + size then
      text = redis.call('GETRANGE', key, 0, SIZE + size - 1)
    end
    owner = string.sub(text, SIZE + 1, SIZE + size)
  end
  return {
    life = life, write = write, version = version, started = started, updated = updated,
    slid = slid, idle = idle, ends = ends, expires = expires, size = size, owner = owner,
  }
end

local function read_head(key)
  local text = redis.call('GETRANGE', key, 0, SIZE + 255)
  return text ~= '' and parse(key, text) or nil
end

local function fixed(record)
  return struct.pack(HEAD, 1, record.life, record.write, record.version, record.started,
    record.updated, record.slid, record.idle, record.ends, record.expires, record.size)
end

local function head(record)
  return fixed(record) .. record.owner
end

local function payload_of(key, record)
  return string.sub(redis.call('GET', key), SIZE + record.size + 1)
end

local function store(key, text, at)
  if not real then
    redis.call('SET', key, text, 'EX', 3600) -- a test's clock is not the server's
  elseif at >= FOREVER then
    redis.call('SET', key, text)
  else
    redis.call('SET', key, text, 'PXAT', string.format('%.0f', at))
  end
end

local function slide()
  active.slid = ms
  active.expires = expiry(ms, active.idle, active.ends)
end

local function put_active(payload)
  active_lasts = lasting(active)
  store(A, head(active) .. payload, active_lasts)
end

local function put_finished(payload)
  finished_lasts = lasting(finished)
  store(F, head(finished) .. payload, finished_lasts)
end

-- The slid head of the active session, in its place.
local function put_slide()
  active_lasts = lasting(active)
  redis.call('SETRANGE', A, 0, fixed(active))
  if real and active_lasts < FOREVER then
    redis.call('PEXPIREAT', A, string.format('%.0f', active_lasts))
  end
end

local function drop_active()
  redis.call('DEL', A)
  active, active_lasts = nil, 0
end

local function drop_finished()
  redis.call('DEL', F)
  finished, finished_lasts = nil, 0
end

-- The active session as it is read, `text`, and whether it slid.
local function slid_if_due(text, every)
  if not due(active.slid, active.idle, every) then
    return text, false
  end
  slide()
  return fixed(active) .. string.sub(text, SIZE + 1), true
end
