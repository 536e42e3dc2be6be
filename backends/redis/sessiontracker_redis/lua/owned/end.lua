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

local function fields_of(key)
  local all, fields = call('HGETALL', key), {}
  for index = 1, #all, 2 do
    fields[all[index]] = all[index + 1]
  end
  return fields
end

local heads, finished_heads, locks = fields_of(A), fields_of(F), fields_of(L)
for key, fields in pairs({ [A] = heads, [F] = finished_heads, [L] = locks }) do
  for field, stored in pairs(fields) do
    if #stored < (key == L and LOCK_SIZE or SIZE) then
      error('BROKEN: ' .. key .. ' holds nothing of ours at ' .. field)
    end
  end
end

-- What was done last under a key, and when; nil: nothing that anybody knows of.
local function deed_of(field)
  local stored, head = locks[field], heads[field] or finished_heads[field]
  if stored then
    local deed = sub(stored, 43, 50)
    return deed ~= NO_ID and deed or nil, unpack('>I6', stored, 51)
  end
  return head and sub(head, 10, 17), head and unpack('>I6', head, 30)
end

if since > 0 then
  -- Whether anything was done to the owner's sessions since it was first sent, or may have been.
  local is_past = ms - since >= REMEMBERED or owner.ending ~= NO_ID and owner.time >= since
  for _, fields in ipairs({ heads, finished_heads, locks }) do
    for field in pairs(fields) do
      local deed, time = deed_of(field)
      is_past = is_past or deed and time >= since
    end
  end
  if is_past then
    return { UNKNOWN }
  end
end

local count = 0
local gone, finished_gone = {}, {} -- the fields that go
local moved, payloads = {}, retention and retention > 0 and fields_of(PAYLOADS[A]) or nil
for field, head in pairs(heads) do
  if field ~= keep then
    gone[#gone + 1] = field
    if ms < unpack('>I7', head, 56) then
      count = count + 1
      if payloads then
        local record = parse(A, head)
        record.version, record.write, record.updated = record.version + 1, id, ms
        record.expires = min(ms + retention, FOREVER)
        moved[field] = record
        if not payloads[field] then
          error('BROKEN: ' .. PAYLOADS[A] .. ' has not the payload of ' .. field)
        end
      elseif retention and finished_heads[field] then
        finished_gone[#finished_gone + 1] = field
        finished_heads[field] = nil
      end
    end
  end
end
if not retention then
  for field, head in pairs(finished_heads) do
    if field ~= keep then
      finished_gone[#finished_gone + 1] = field
      finished_heads[field] = nil
      if ms < unpack('>I7', head, 56) then
        count = count + 1
      end
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
  local deed, time = deed_of(field)
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
  local text = with_deed(stored, deed or NO_ID, time, till)
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
if heads[keep] then
  many('HDEL', A, gone)
  many('HDEL', PAYLOADS[A], gone)
else
  call('DEL', A, PAYLOADS[A])
end
many('HDEL', F, finished_gone)
many('HDEL', PAYLOADS[F], finished_gone)
many('HSET', F, new_heads)
many('HSET', PAYLOADS[F], new_payloads)
many('HDEL', L, locks_gone)
many('HSET', L, new_locks)
owner.time = owner.ending == NO_ID and ms or max(ms, owner.time)
owner.ending, owner.count = id, count
put_owner()
tidy()
return { ENDED, count }
