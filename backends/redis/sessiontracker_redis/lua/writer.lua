-- Who may write, and what is to be said of a repeat.

local function hold_at(index)
  if ARGV[index] == '' then
    return nil
  end
  return {
    elsewhere = ARGV[index] == 'elsewhere',
    ticket = ARGV[index + 1],
    token = ARGV[index + 2],
    keep = tonumber(ARGV[index + 3]),
  }
end

local function stamp_at(index)
  if ARGV[index] == '' then
    return nil
  end
  return { life = ARGV[index], version = tonumber(ARGV[index + 1]), write = ARGV[index + 2] }
end

local function is_lost(hold)
  if not hold then
    return false
  end
  if hold.elsewhere then
    return hold.token < lock.token
  end
  local lease = lock.lease
  return not lease or lease.token == CLAIM or lease.ticket ~= hold.ticket
    or lease.token ~= hold.token
end

local function locked(hold)
  local lease = lock.lease
  return not hold and lease and { LOCKED, lease.holder, lease.till - ms } or nil
end

-- The token of a lock held elsewhere is the least accepted from now on; whether it is new.
local function register(hold)
  if not hold or not hold.elsewhere or hold.token == lock.token then
    return false
  end
  lock.token, lock.kept, lock.needed = hold.token, ms + hold.keep, true
  return true
end

local function refuse(hold, stamp)
  if is_lost(hold) then
    return { LOST }
  end
  if not active then
    return absent()
  end
  local refusal = locked(hold)
  if not refusal and stamp and (stamp.version ~= active.version or stamp.life ~= active.life
    or stamp.write ~= active.write) then
    refusal = { STALE, active.version, active.life == stamp.life and 1 or 0 }
  end
  return refusal
end

local function is_past_telling(id, age)
  if age == 0 then
    return false
  end
  if lock.deed == '' then
    return age >= REMEMBERED
  end
  return lock.deed == id or lock.time >= ms - age
end

local function was_perhaps_done(id, age, stamp)
  if age == 0 or not stamp then
    return false
  end
  see_finished()
  local record = active and active.life == stamp.life and active
    or finished and finished.expires > ms and finished.life == stamp.life and finished
  if record then
    return record.version > stamp.version + 1
  end
  return is_past_telling(id, age)
end
