-- The lock: a string of a head, the holder and, if anybody waits, the queue.

local TICKET, HOLDER, EVERY, SEEN, CHANNEL = 1, 2, 3, 4, 5 -- of a waiter

local lock
local LAST_TOKEN = '9223372036854775807' -- no store has a higher one

-- Who waits, as `text` says; an error if it is no queue. All that may be stumbled over later is
-- looked at here: comparing has errors of its own for what is no number.
local function read_queue(text)
  local queue, type = cmsgpack.unpack(text), type
  local count = #queue
  assert(next(queue, count > 0 and count or nil) == nil)
  for index = 1, count do
    local waiter = queue[index]
    local ticket, holder, every, seen = waiter[TICKET], waiter[HOLDER], waiter[EVERY], waiter[SEEN]
    if every < 0 or seen < 0 or every + seen > FOREVER or (every + seen) % 1 ~= 0
      or #ticket ~= 8 or #holder > 65535 or type(ticket) ~= 'string'
      or type(holder) ~= 'string' or type(waiter[CHANNEL]) ~= 'string' then
      error()
    end
  end
  return queue
end

-- The same, of the lock that is at `key`, before anything is written.
local function queue_of(key, text)
  local fine, queue = pcall(read_queue, text)
  if not fine then
    error('BROKEN: ' .. key .. ' holds a lock whose queue is none')
  end
  return queue
end

-- The lease goes to the first waiter that is alive, as a claim, or to nobody. If it was a claim
-- that nobody took, all who have not looked in the meantime are taken for dead.
local function hand_over()
  local queue = lock.queue
  if lock.lease == CLAIM and ms >= lock.till then
    queue = {}
    for _, waiter in ipairs(lock.queue) do
      if ms < waiter[SEEN] + floor(1.5 * waiter[EVERY]) then
        queue[#queue + 1] = waiter
      end
    end
  end
  lock.ticket, lock.lease, lock.till, lock.holder = NO_ID, NO_TOKEN, 0, ''
  lock.queue, lock.woken = {}, nil
  for index, waiter in ipairs(queue) do
    if ms < waiter[SEEN] + 2 * waiter[EVERY] then
      lock.ticket, lock.lease, lock.holder = waiter[TICKET], CLAIM, waiter[HOLDER]
      lock.till, lock.woken = ms + floor(1.5 * waiter[EVERY]), waiter
      for left = index + 1, #queue do
        lock.queue[left - index] = queue[left]
      end
      return
    end
  end
end
