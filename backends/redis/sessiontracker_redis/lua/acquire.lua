-- Acquire: ticket, lease, holder, look_every, queue, read, touch_every, keep, channel, and the
-- session to start: id, payload, owner, idle, absolute.
--#include clock
--#include record
--#include lock
--#include begin
local ticket, length, holder, every = ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local queues, reads, starts, id = ARGV[6] ~= '', ARGV[7] ~= '', ARGV[11] ~= '', ARGV[11]
local text = load(reads or starts, starts)
local lease = lock.lease
local mine = lease and lease.ticket == ticket
local token = mine and lease.token or CLAIM

local function has_begun()
  return lock.deed == id or finished and finished.life == id
end

-- One above the last, or the time in µs.
local function next_token()
  local high, low = string.sub(lock.token, 1, 10), tonumber(string.sub(lock.token, 11)) + 1
  if low == 1000000000 then
    high, low = string.format('%010.0f', tonumber(high) + 1), 0
  end
  local above, time = high .. string.format('%09.0f', low), string.format('%019.0f', now)
  return above > time and above or time
end

local begins = starts and token == CLAIM and not has_begun()
if not active and not begins and (reads or starts) then
  local answer = absent()
  if leave(ticket) then
    commit()
  end
  return answer
end
if lock.released == ticket then
  return { LOST } -- it comes after its release: nobody would let go again
end

-- In line: at the end the first time, then a sign of life where it stands.
local function enqueue()
  local waiter = { ticket, holder, every, ms, ARGV[10] }
  local ahead, fresh
  for index, known in ipairs(lock.queue) do
    if known[TICKET] == ticket then
      ahead = index - 1
      fresh = known[EVERY] == every and ms - known[SEEN] < math.floor(every / 4)
      lock.queue[index] = waiter
    end
  end
  if not ahead then
    local alive = {}
    for _, known in ipairs(lock.queue) do
      if ms < known[SEEN] + 2 * known[EVERY] then
        alive[#alive + 1] = known
      end
    end
    ahead = #alive
    alive[ahead + 1] = waiter
    lock.queue = alive
  end
  if not fresh then
    commit()
  end
  local look_in = ahead > 0 and every or math.max(1, math.min(every, lease.till - ms))
  return { QUEUED, lease.holder, ahead, look_in }
end

if lease and not mine then
  if queues then
    return enqueue()
  end
  local answer = { LOCKED, lease.holder, lease.till - ms }
  if leave(ticket) then
    commit()
  end
  return answer
end
if token == CLAIM then
  token = next_token()
end
local till = ms + length
lock.lease = { ticket = ticket, token = token, till = till, holder = holder }
if token > lock.token then
  lock.token = token
end
lock.kept = till + tonumber(ARGV[9])
lock.needed, lock.woken = true, nil
if not reads and not starts then
  commit()
  return { GRANTED, token, length }
end
if active then
  local slid
  text, slid = slid_if_due(text, tonumber(ARGV[8]))
  if slid then
    put_slide()
  end
else
  begin(id, ARGV[13], tonumber(ARGV[14]), tonumber(ARGV[15]))
  put_begun(ARGV[12])
  text = head(active) .. ARGV[12]
end
commit()
return { GRANTED, token, length, text }
