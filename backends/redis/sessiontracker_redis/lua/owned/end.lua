-- EndOwner: id, retention, keep, since.
--#include owned/all
--#include owned/tidy
--#include owned/deeds
local id, retention, keep, since = ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
load_owner()
--#include owned/payloads
if owner.ending == id then
  return { ENDED, owner.count }
end

-- What `key` holds, each of that `size` at least.
local function fields_of(key, size)
  local all, fields = call('HGETALL', key), {}
  for index = 1, #all, 2 do
    local field, stored = all[index], all[index + 1]
    if #stored < size then
      error('BROKEN: ' .. key .. ' holds nothing of ours at ' .. field)
    end
    fields[field] = stored
  end
  return fields
end

local locks = fields_of(L, LOCK_SIZE)

if since > 0 then
  -- Whether anything was done to the owner's sessions since it was first sent, or may have been.
  local is_past = ms - since >= REMEMBERED or owner.ending ~= NO_ID and owner.time >= since
  for _, stored in pairs(locks) do
    is_past = is_past or sub(stored, 43, 50) ~= NO_ID and unpack('>I6', stored, 51) >= since
  end
  for _, key in ipairs({ A, F }) do
    for field, head in pairs(fields_of(key, SIZE)) do
      is_past = is_past or not locks[field] and unpack('>I6', head, 30) >= since
    end
  end
  if is_past then
    return { UNKNOWN }
  end
end

local count = 0
local heads, finished_heads = {}, {} -- at least those that stay
local moved, payloads, replaced = {}, nil, {}
if retention then
  heads, finished_heads = fields_of(A, SIZE), fields_of(F, SIZE)
  payloads = retention > 0 and fields_of(PAYLOADS[A], 0)
  for field, head in pairs(heads) do
    if field ~= keep and ms < unpack('>I7', head, 56) then
      count = count + 1
      if payloads then
        local record = parse(A, head)
        record.version, record.write, record.updated = record.version + 1, id, ms
        record.expires = min(ms + retention, FOREVER)
        moved[field] = record
        if not payloads[field] then
          error('BROKEN: ' .. PAYLOADS[A] .. ' has not the payload of ' .. field)
        end
      elseif finished_heads[field] then
        replaced[#replaced + 1] = field
        finished_heads[field] = nil
      end
    end
  end
else
  -- All go but for what is kept, whatever their names, which would cost as much as all else.
  for key, stays in pairs({ [A] = heads, [F] = finished_heads }) do
    for _, head in ipairs(call('HVALS', key)) do
      if #head < SIZE then
        fields_of(key, SIZE) -- says which
      end
      if ms < unpack('>I7', head, 56) then
        count = count + 1
      end
    end
    local head = call('HGET', key, keep)
    if head then
      stays[keep] = head
      count = ms < unpack('>I7', head, 56) and count - 1 or count
    end
  end
end
if count == 0 then
  return { ENDED, 0 }
end

-- A lock stays as long as what is left beside it, and as it may be asked about itself. Without one,
-- all that is to be known of what was done to a key is that all were ended.
local new_locks, locks_gone = {}, {}
for field, stored in pairs(locks) do
  local till = 0
  if moved[field] then
    till = max(moved[field].expires, ms + REMEMBERED)
  elseif finished_heads[field] then
    local _, lasts = parse(F, finished_heads[field])
    till = lasts
  end
  if field == keep and heads[field] then
    local _, lasts = parse(A, heads[field])
    till = max(till, lasts)
  end
  local text = with_deed(stored, sub(stored, 43, 50), unpack('>I6', stored, 51), till)
  if text then
    new_locks[#new_locks + 1], new_locks[#new_locks + 2] = field, text
  else
    locks_gone[#locks_gone + 1] = field
  end
end
local new_heads, new_payloads = {}, {}
for field, record in pairs(moved) do
  local at = #new_heads
  new_heads[at + 1], new_heads[at + 2] = field, fixed(record) .. record.owner
  new_payloads[at + 1], new_payloads[at + 2] = field, payloads[field]
end

-- All sessions of `key` go, and what is kept comes back: that is two steps, however many go.
local function clear(key, kept)
  local payload = kept and call('HGET', PAYLOADS[key], keep)
  call('UNLINK', key, PAYLOADS[key])
  if kept then
    call('HSET', key, keep, kept)
  end
  if payload then
    call('HSET', PAYLOADS[key], keep, payload)
  end
end

clear(A, heads[keep])
if retention then
  many('HDEL', F, replaced)
  many('HDEL', PAYLOADS[F], replaced)
  many('HSET', F, new_heads)
  many('HSET', PAYLOADS[F], new_payloads)
else
  clear(F, finished_heads[keep])
end
many('HDEL', L, locks_gone)
many('HSET', L, new_locks)
owner.time = owner.ending == NO_ID and ms or max(ms, owner.time)
owner.ending, owner.count = id, count
put_owner()
tidy()
return { ENDED, count }
