-- The lock: a string of a head, the holder and, if anybody waits, the queue.

local TICKET, HOLDER, EVERY, SEEN, CHANNEL = 1, 2, 3, 4, 5 -- of a waiter

local lock

-- The lease goes to the first waiter that is alive, as a claim, or to nobody.
local function hand_over()
  local queue = lock.queue
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
