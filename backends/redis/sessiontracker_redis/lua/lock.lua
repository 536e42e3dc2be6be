-- The lock, and what scripts answer with.

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
