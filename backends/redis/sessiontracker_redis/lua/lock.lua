-- What a key holds: its sessions, its lock, and the last deed. `load` lets time pass first;
-- `commit` comes last, after a change. See sessiontracker/machine.py, which says why.

local SAVED, IN_PROGRESS, GRANTED, QUEUED, RELEASED, MISSING, IS_FINISHED = 1, 2, 3, 4, 5, 6, 7
local IS_ACTIVE, LOCKED, LOST, STALE, UNKNOWN, DELETED = 8, 9, 10, 11, 12, 13
local TICKET, HOLDER, EVERY, SEEN, CHANNEL = 1, 2, 3, 4, 5 -- of a waiter
local CLAIM, NO_TOKEN = '', '0000000000000000000' -- tokens have 19 digits: no number holds them

local lock

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

local function see_finished()
  if finished_lasts then
    return
  end
  finished, finished_lasts = read_head(F), 0
  if finished then
    finished_lasts = lasting(finished)
  end
end

local function load_lock()
  local text = redis.call('GET', L)
  if text then
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
      if ms >= all[7] then
        hand_over()
      end
    end
    return
  end
  -- The deed is known from what it left, as long as that says all of it: see `remember`.
  local last = active or finished
  lock = {
    token = NO_TOKEN, kept = 0, released = '', queue = {},
    deed = last and last.write or '', time = last and last.updated or 0,
  }
end

-- With the active session `whole`, it is returned, too. The finished one is only looked at if
-- it `matters` anyway, or there is no active one.
local function load(whole, matters)
  local text
  if whole then
    text = redis.call('GET', A)
    active = text and parse(A, text) or nil
  else
    active = read_head(A)
  end
  active_lasts = active and lasting(active) or 0
  local is_over = active and ms >= active.expires
  if matters or is_over or not active then
    see_finished()
  end
  load_lock()
  if is_over then
    active = nil
  end
  if finished and ms >= finished.expires then
    finished = nil
  end
  return text
end

local function token_kept()
  return math.max(lock.kept, math.floor(tonumber(lock.token) / 1000))
end

local function lock_lasts()
  local at = math.max(token_kept(), active_lasts)
  if lock.lease then
    at = math.max(at, lock.lease.till)
  end
  if lock.deed ~= '' then
    at = math.max(at, lock.time + REMEMBERED)
  end
  for _, waiter in ipairs(lock.queue) do
    at = math.max(at, waiter[SEEN] + 2 * waiter[EVERY])
  end
  local left = not finished_lasts and redis.call('PTTL', F) or 0
  if left == -1 then
    return FOREVER
  end
  return math.max(at, finished_lasts or ms + left) + 1000
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

local function absent()
  return { finished and IS_FINISHED or MISSING }
end
