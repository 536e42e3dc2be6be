-- The owner's own: the last ending of all sessions at once, and what they share.
local OWNER, OWNER_SIZE = '>Bc8I6I4c19c8I7', 53

local shown -- as it is stored, which answers bring along; nil: nothing is
local owner -- what it says

local function load_owner()
  shown = call('GET', O) or nil
  if not shown then
    owner = {
      ending = NO_ID, time = 0, count = 0, version = NO_TOKEN, write = NO_ID, kept = 0, payload = '',
    }
    return
  end
  if #shown < OWNER_SIZE or byte(shown) ~= 4 then
    error('BROKEN: ' .. O .. ' is no owner')
  end
  local _, ending, time, count, version, write, kept = unpack(OWNER, shown)
  if version > LAST_TOKEN or string.find(version, '%D') then
    error('BROKEN: ' .. O .. ' is an owner without a version')
  end
  owner = {
    ending = ending, time = time, count = count, version = version, write = write, kept = kept,
    payload = sub(shown, OWNER_SIZE + 1),
  }
end

-- As long as any session, if they share anything, and as what it says may be asked about.
local function owner_lasts()
  local at = owner.ending ~= NO_ID and owner.time + REMEMBERED or 0
  if owner.version ~= NO_TOKEN then
    at = max(at, owner.kept, floor(tonumber(owner.version) / 1000) + 1, lasts(A), lasts(F))
  end
  return at
end

local function put_owner()
  local at = owner_lasts()
  if at == 0 then
    call('DEL', O)
    shown = nil
    return
  end
  shown = pack(OWNER, 4, owner.ending, owner.time, owner.count, owner.version, owner.write,
    owner.kept) .. owner.payload
  call('SET', O, shown)
  expire(O, at)
end

-- Whether what is shared has outlived its time and the last session, active or finished.
local function gone_by_now()
  if owner.version == NO_TOKEN or ms < owner.kept
    or ms <= floor(tonumber(owner.version) / 1000) then
    return false
  end
  for _, key in ipairs({ A, F }) do
    for _, head in ipairs(call('HVALS', key)) do
      if #head >= SIZE and ms < unpack('>I7', head, 56) then
        return false
      end
    end
  end
  return true
end

-- Without what was shared by sessions long gone, and an ending that nobody will ask about; whether
-- there was either.
local function settle_owner()
  local changed = false
  if gone_by_now() then
    owner.version, owner.write, owner.kept, owner.payload = NO_TOKEN, NO_ID, 0, ''
    changed = true
  end
  if owner.ending ~= NO_ID and ms >= owner.time + REMEMBERED then
    owner.ending, owner.time, owner.count = NO_ID, 0, 0
    changed = true
  end
  return changed
end
