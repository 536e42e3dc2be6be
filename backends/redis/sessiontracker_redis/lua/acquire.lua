-- Acquire: ticket, lease, holder, look_every, queue, read, touch_every, keep, channel, and the
-- session to start: id, payload, owner, idle, absolute.
--#include base
--#include store
local ticket, length, holder, looks = ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local queues, reads, every = ARGV[6] ~= '', ARGV[7] ~= '', tonumber(ARGV[8])
local keep = tonumber(ARGV[9])
if reads then
  --#include granted
end
--#include record
--#include lock
--#include leave
local id = ARGV[11]
local starts = id ~= ''
local whole, matters = reads or starts, starts
--#include load
local is_free, is_mine = lock.ticket == NO_ID, lock.ticket == ticket
local token = is_mine and lock.lease or CLAIM
-- A repeat begins nothing again: its session was there once, and has gone since.
local begins = starts and token == CLAIM and lock.deed ~= id
  and not (finished and finished.life == id)
local answer, changed
if not active and not begins and (reads or starts) then
  answer, changed = { finished and IS_FINISHED or MISSING }, leave(ticket)
elseif lock.released == ticket then
  return { LOST } -- it comes after its release: nobody would let go again
elseif is_free or is_mine then
  if token == CLAIM then
    local last = lock.token
    --#include rising
    token = rising
  end
  lock.ticket, lock.lease, lock.till, lock.holder = ticket, token, ms + length, holder
  lock.token = token > lock.token and token or lock.token
  lock.kept = lock.till + keep
  lock.needed, lock.woken, changed = true, nil, true
  if not reads and not starts then
    text = ''
  elseif active then
    local slid
    --#include slid
    if slid then
      --#include put_slid
    end
  else
    local payload, owner = ARGV[12], ARGV[13]
    local idle, absolute = tonumber(ARGV[14]), tonumber(ARGV[15])
    --#include begin
    --#include put_begun
    text = fixed(active) .. owner .. payload
  end
  answer = token .. text
elseif queues then
  --#include queue
  answer = { QUEUED, lock.holder, ahead, look_in }
else
  answer, changed = { LOCKED, lock.holder, lock.till - ms }, leave(ticket)
end
--#include commit
return answer
