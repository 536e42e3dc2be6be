-- The lock: a string of a head, the holder and, if anybody waits, the queue: a head of its own,
-- the names, and for each who waits a record, all of one size: what is done about one costs hardly
-- more the longer the queue is.

-- Of a queue: nobody in it is alive after the first, all are until the second; and how long the
-- names are, each a holder and the channel through which it is woken, which many share.
local QUEUE, QUEUE_SIZE = '>I7I7I4', 18
local NAME = '>I2c0I2c0'
-- Of who waits: the ticket, how often it looks, its last look, and where its name begins.
local WAITER, WAITER_SIZE = '>c8I7I7I4', 26

local lock
local LAST_TOKEN = '9223372036854775807' -- no store has a higher one

local function no_queue()
  error('BROKEN: ' .. L .. ' holds a lock whose queue is none')
end

-- What is in `stored` from `at` on: until when anybody may be alive, until when all are, the names
-- and who waits. An error, before anything is written, if it is no queue.
local function read_queue(stored, at)
  if #stored >= at + QUEUE_SIZE then
    local latest, doubt, size = unpack(QUEUE, stored, at)
    local first = at + QUEUE_SIZE + size
    local left = #stored - first + 1
    if left > 0 and left % WAITER_SIZE == 0 then
      return latest, doubt, sub(stored, at + QUEUE_SIZE, first - 1), sub(stored, first)
    end
  end
  no_queue()
end

local function name_at(place)
  local fine, holder, channel = pcall(unpack, NAME, lock.names, place + 1)
  if not fine then
    no_queue()
  end
  return holder, channel
end

-- Where the record of `ticket` begins.
local function place_in_queue(ticket)
  local at = 0
  repeat
    at = string.find(lock.queue, ticket, at + 1, true)
  until not at or at % WAITER_SIZE == 1
  return at
end

-- The queue keeps those whose last look was not as long ago as `most` of their intervals, and the
-- names that they have; all names, if these would weigh more, as spoilt ones that overlap may.
local function prune(most)
  local alive, moved, names, places, size = {}, {}, {}, {}, 0
  lock.latest, lock.doubt = 0, FOREVER
  for at = 1, #lock.queue, WAITER_SIZE do
    local ticket, every, seen, place = unpack(WAITER, lock.queue, at)
    if ms < seen + floor(most * every) then
      alive[#alive + 1] = sub(lock.queue, at, at + WAITER_SIZE - 1)
      lock.latest = max(lock.latest, seen + 2 * every)
      lock.doubt = min(lock.doubt, seen + 2 * every)
      if size <= #lock.names then
        if not places[place] then
          local holder, channel = name_at(place)
          names[#names + 1] = pack(NAME, #holder, holder, #channel, channel)
          places[place], size = size, size + #names[#names]
        end
        moved[#alive] = pack(WAITER, ticket, every, seen, places[place])
      end
    end
  end
  if size <= #lock.names then
    alive, lock.names = moved, table.concat(names)
  end
  lock.queue = table.concat(alive)
end

-- The lease goes to the first waiter that is alive, as a claim, or to nobody. If it was a claim
-- that nobody took, all who have not looked in the meantime are taken for dead.
local function hand_over()
  if lock.lease == CLAIM and ms >= lock.till then
    prune(1.5)
  end
  local queue = lock.queue
  lock.ticket, lock.lease, lock.till, lock.holder = NO_ID, NO_TOKEN, 0, ''
  lock.queue, lock.woken = '', nil
  for at = 1, #queue, WAITER_SIZE do
    local ticket, every, seen, place = unpack(WAITER, queue, at)
    if ms < seen + 2 * every then
      local holder, channel = name_at(place)
      lock.ticket, lock.lease, lock.holder = ticket, CLAIM, holder
      lock.till, lock.woken = ms + floor(1.5 * every), channel
      lock.queue = sub(queue, at + WAITER_SIZE)
      return
    end
  end
end
