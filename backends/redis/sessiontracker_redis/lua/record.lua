-- Records: a session is one string of a head, its owner and the payload.
--
-- What is used once is included where it is used, and is no function: a script makes its
-- functions anew each time that it runs, and that costs more than what most of them do.

local active, finished -- the heads of the sessions that are there
local active_lasts, finished_lasts -- until when their keys do; 0: no key; nil: not looked yet

local function parse(key, text)
  if #text < SIZE or string.byte(text) ~= 1 then
    error('BROKEN: ' .. key .. ' holds no session')
  end
  local _, life, write, version, started, updated, slid, idle, ends, expires, size =
    struct.unpack(HEAD, text)
  local owner = ''
  if size > 0 then
    if #text < SIZE + size then
      text = call('GETRANGE', key, 0, SIZE + size - 1)
    end
    owner = sub(text, SIZE + 1, SIZE + size)
    if #owner < size then
      error('BROKEN: ' .. key .. ' holds half a session')
    end
  end
  -- A record outlives its session by as long as the deed that left it is remembered.
  return {
    life = life, write = write, version = version, started = started, updated = updated,
    slid = slid, idle = idle, ends = ends, expires = expires, size = size, owner = owner,
  }, max(expires, updated + REMEMBERED)
end

local function fixed(record)
  return pack(HEAD, 1, record.life, record.write, record.version, record.started,
    record.updated, record.slid, record.idle, record.ends, record.expires, record.size)
end

-- The record in its place; until when it lasts there.
local function put(key, record, payload)
  local at = max(record.expires, record.updated + REMEMBERED)
  store(key, fixed(record) .. record.owner .. payload, at)
  return at
end
