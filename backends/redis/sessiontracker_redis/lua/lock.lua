-- What a key holds: its sessions, its lock, and the last deed. `load` lets time pass first;
-- `commit` comes last, after a change. See sessiontracker/machine.py, which says why.

local SAVED, IN_PROGRESS, GRANTED, QUEUED, RELEASED, MISSING, IS_FINISHED = 1, 2, 3, 4, 5, 6, 7
local IS_ACTIVE, LOCKED, LOST, STALE, UNKNOWN, DELETED = 8, 9, 10, 11, 12, 13
local TICKET, HOLDER, EVERY, SEEN, CHANNEL = 1, 2, 3, 4, 5 -- of a waiter

local CLAIM, NO_TOKEN = '', string.rep('0', 19) -- tokens are of 19 digits: more than a number holds

local active, finished -- the heads of the sessions that are there
local lock

-- Records ---------------------------------------------------------------------

local function fixed(record)
  return struct.pack(HEAD, 1, record.life, record.write, record.version, record.started,
    record.updated, record.slid, record.idle, record.ends, record.expires, record.size)
end

local function head(record)
  return fixed(record) .. record.owner
end

local function read_head(key)
  local text = redis.call('GETRANGE', key, 0, SIZE + 255)
  if text == '' then
    return nil
  end
  local record = parse(text)
  if #text < SIZE + record.size then
    text = redis.call('GETRANGE', key, 0, SIZE + record.size - 1)
  end
  record.owner = string.sub(text, SIZE + 1, SIZE + record.size)
  return record
end

local function payload_of(key, record)
  return string.sub(redis.call('GET', key), SIZE + record.size + 1)
end

local function expiry(slid, idle, ends)
  return idle > 0 and math.min(slid + idle, ends) or ends
end

local function slide(record)
  record.slid = ms
  record.expires = expiry(ms, record.idle, record.ends)
end

-- A record outlives its session by as long as the deed that left it is remembered.
local function lasting(record)
  return math.max(record.expires, record.updated + REMEMBERED)
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

local function put(key, record, payload)
  store(key, head(record) .. payload, lasting(record))
end

-- The slid head of the active session, in its place.
local function put_slide()
  redis.call('SETRANGE', A, 0, fixed(active))
  local at = lasting(active)
  if real and at < FOREVER then
    redis.call('PEXPIREAT', A, string.format('%.0f', at))
  end
end

-- The active session as it is read, and whether it slid.
local function found(every)
  local text = redis.call('GET', A)
  if not due(active, every) then
    return text, false
  end
  slide(active)
  return fixed(active) .. string.sub(text, SIZE + 1), true
end

-- The lock --------------------------------------------------------------------

-- The lease goes to the first waiter that is alive, as a claim, or to nobody.
local function hand_over()
  local queue = lock.queue
  lock.lease, lock.queue, lock.woken = nil, {}, nil
  for index, waiter in ipairs(queue) do
    if ms < waiter[SEEN] + 2 * waiter[EVERY] then
      lock.lease = {
        ticket = waiter[TICKET],
        token = CLAIM,
        till = ms + math.floor(1.5 * waiter[EVERY]),
        holder = waiter[HOLDER],
      }
      lock.woken = waiter
      for left = index + 1, #queue do
        lock.queue[left - index] = queue[left]
      end
      return
    end
  end
end

local function load_lock()
  local text = redis.call('GET', L)
  if not text then
    -- The deed is known from what it left, as long as that says all of it: see `remember`.
    local last = active or finished
    lock = {
      token = NO_TOKEN, kept = 0, released = '', queue = {},
      deed = last and last.write or '', time = last and last.updated or 0,
    }
    return
  end
  if string.byte(text) ~= 0x9b or string.byte(text, 2) ~= 1 then
    error('BROKEN: this is no lock')
  end
  local all = cmsgpack.unpack(text)
  lock = {
    there = true, token = all[2], kept = all[3], released = all[4],
    deed = all[9], time = all[10], queue = all[11],
  }
  if all[5] ~= '' then
    lock.lease = { ticket = all[5], token = all[6], till = all[7], holder = all[8] }
  end
end

local function load()
  active, finished = read_head(A), read_head(F)
  load_lock()
  if active and ms >= active.expires then
    active = nil
  end
  if finished and ms >= finished.expires then
    finished = nil
  end
  if lock.lease and ms >= lock.lease.till then
    hand_over()
  end
end

local function token_kept()
  return math.max(lock.kept, math.floor(tonumber(lock.token) / 1000))
end

local function lock_lasts()
  local at = token_kept()
  if lock.lease then
    at = math.max(at, lock.lease.till)
  end
  if lock.deed ~= '' then
    at = math.max(at, lock.time + REMEMBERED)
  end
  for _, waiter in ipairs(lock.queue) do
    at = math.max(at, waiter[SEEN] + 2 * waiter[EVERY])
  end
  for _, key in ipairs({ A, F }) do
    local left = redis.call('PTTL', key)
    if left == -1 then
      return FOREVER
    end
    at = math.max(at, ms + left)
  end
  return at + 1000
end

-- After a change of anything: the lock as it is now, if there is one.
local function commit()
  local lease = lock.lease
  if not (active or finished or lease) and ms > token_kept()
    and (lock.deed == '' or ms >= lock.time + REMEMBERED) then
    redis.call('DEL', A, F, L)
    return
  end
  if lock.there or lock.needed then
    lease = lease or { ticket = '', token = CLAIM, till = 0, holder = '' }
    store(L, cmsgpack.pack({
      1, lock.token, lock.kept, lock.released,
      lease.ticket, lease.token, lease.till, lease.holder,
      lock.deed, lock.time, lock.queue,
    }), lock_lasts())
  end
  if lock.woken and lock.woken[CHANNEL] ~= '' then
    redis.pcall('PUBLISH', lock.woken[CHANNEL], lock.woken[TICKET]) -- a hint, which may fail
  end
end

-- The deed is kept with the lock, if there is one, or if what it left does not tell it.
local function remember(id)
  local time = math.max(ms, lock.time)
  lock.deed, lock.time = id, time
  if time ~= ms then
    lock.needed = true
  end
end

-- Without `ticket`'s lease or claim, or its place in the queue; whether there was one.
local function leave(ticket)
  local lease = lock.lease
  if lease and lease.ticket == ticket then
    if lease.token ~= CLAIM then
      lock.released = ticket
    end
    hand_over()
    return true
  end
  for index, waiter in ipairs(lock.queue) do
    if waiter[TICKET] == ticket then
      table.remove(lock.queue, index)
      return true
    end
  end
  return false
end

-- Who may ---------------------------------------------------------------------

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

local function absent()
  return { finished and IS_FINISHED or MISSING }
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

-- Repeats ---------------------------------------------------------------------

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
  local record = active and active.life == stamp.life and active
    or finished and finished.life == stamp.life and finished
  if record then
    return record.version > stamp.version + 1
  end
  return is_past_telling(id, age)
end

-- A session begins ------------------------------------------------------------

local function begin(id, owner, idle, absolute)
  local ends = absolute > 0 and math.min(ms + absolute, FOREVER) or FOREVER
  active = {
    life = id, write = id, version = 1, started = ms, updated = ms, slid = ms, idle = idle,
    ends = ends, expires = expiry(ms, idle, ends), size = #owner, owner = owner,
  }
end

-- The session that began is put in its place. Beside a finished one, which may outlive what
-- it leaves, the deed is kept with the lock.
local function put_begun(payload)
  put(A, active, payload)
  remember(active.write)
  if finished then
    lock.needed = true
  end
end
