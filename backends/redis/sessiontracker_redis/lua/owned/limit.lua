-- How many sessions the owner may have: ARGV[limit_at], whether the oldest make room, and for how
-- long those are kept then.
local most, makes_room = tonumber(ARGV[limit_at]), ARGV[limit_at + 1] ~= ''
local others = {} -- the active sessions under other keys
local excess = 0 -- so many of them are too many, if one begins

local function count_others()
  if not most then
    return
  end
  local all = call('HGETALL', A)
  for index = 1, #all, 2 do
    local head = all[index + 1]
    if all[index] ~= name and #head >= SIZE and ms < unpack('>I7', head, 56) then
      others[#others + 1] = { all[index], unpack('>I6', head, 24), head }
    end
  end
  excess = max(0, #others + 1 - most)
end

-- By bytes: Lua compares by the rules of a language.
local function precedes(one, other)
  local at = 1
  while byte(one, at) == byte(other, at) do
    at = at + 1
  end
  return (byte(one, at) or -1) < (byte(other, at) or -1)
end

local leaving = {} -- those that make room, and what becomes of each

-- The oldest of the others will be finished by the start `id`, whoever holds their locks. Nothing
-- is written yet: what cannot be read is found now.
local function choose(id)
  if excess == 0 then
    return
  end
  table.sort(others, function(one, other)
    if one[2] ~= other[2] then
      return one[2] < other[2]
    end
    return one[1] ~= other[1] and precedes(one[1], other[1])
  end)
  local mine, retention = name, tonumber(ARGV[limit_at + 2])
  for index = 1, excess do
    name = others[index][1]
    local record, till = parse(A, others[index][3])
    local text, stored = text_of(A, ''), call('HGET', L, name)
    if stored then
      with_deed(stored, id, ms, 0) -- it is a lock
    end
    local time, kept = max(ms, stored and unpack('>I6', stored, 51) or record.updated), 0
    if retention > 0 then
      record.version, record.write, record.updated = record.version + 1, id, ms
      record.expires = min(ms + retention, FOREVER)
      kept = max(record.expires, record.updated + REMEMBERED)
    end
    leaving[index] = {
      name = name, till = till, record = retention > 0 and record, payload = text,
      stored = stored, time = (stored or retention == 0 or time ~= ms) and time, kept = kept,
    }
  end
  name = mine
end

local function make_room(id)
  local mine = name
  for _, other in ipairs(leaving) do
    name = other.name
    drop(A, other.till)
    if other.record then
      put(F, other.record, other.payload)
    else
      drop(F, 0)
    end
    if other.time then
      store(L, with_deed(other.stored, id, other.time, other.kept))
    end
  end
  name = mine
end

-- `answer`, what the sessions share, and who was finished to make room by the start `id`.
local function with_room(answer, id)
  if makes_room then
    local all = call('HGETALL', F)
    for index = 1, #all, 2 do
      local head = all[index + 1]
      if #head >= SIZE and sub(head, 10, 17) == id and ms < unpack('>I7', head, 56) then
        answer[#answer + 1] = all[index]
      end
    end
  end
  return answer
end
