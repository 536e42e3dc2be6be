-- Acquire: ticket, lease, holder, look_every, queue, read, touch_every, keep, channel, the session
-- to start: id, payload, owner, idle, absolute; and the limit.
--#include owned/all
--#include owned/tidy
--#include leave
local ticket, length, holder, looks = ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local queues, reads, every = ARGV[6] ~= '', ARGV[7] ~= '', tonumber(ARGV[8])
local keep, limit_at = tonumber(ARGV[9]), 16
--#include owned/deeds
--#include owned/limit
local id = ARGV[11]
local starts = id ~= ''
load_owner()
load(reads or starts)
local is_free, is_mine = lock.ticket == NO_ID, lock.ticket == ticket
local token = is_mine and lock.lease or CLAIM
-- A repeat begins nothing again: its session was there once, and has gone since.
local begins = starts and token == CLAIM and lock.deed ~= id
  and not (finished and finished.life == id)
if not active and not begins and (reads or starts) then
  if leave(ticket) then
    commit()
  end
  return { finished and IS_FINISHED or MISSING }
end
if lock.released == ticket then
  return { LOST } -- it comes after its release: nobody would let go again
end
if is_free or is_mine then
  local begun = starts and not active
  if begun then
    --#include owned/payloads
    count_others()
    if excess > 0 and not makes_room then
      if leave(ticket) then
        commit()
      end
      return { LIMIT_REACHED, #others }
    end
    choose(id)
  end
  if token == CLAIM then
    local last = lock.token
    --#include rising
    token = rising
  end
  lock.ticket, lock.lease, lock.till, lock.holder = ticket, token, ms + length, holder
  lock.token = token > lock.token and token or lock.token
  lock.kept = lock.till + keep
  lock.needed, lock.woken = true, nil
  if begun then
    local payload, owner = ARGV[12], ARGV[13]
    local idle, absolute = tonumber(ARGV[14]), tonumber(ARGV[15])
    --#include begin
    text = fixed(active) .. active.owner .. payload
    --#include owned/settle
    make_room(id)
    --#include put_begun
  elseif not reads and not starts then
    commit()
    return token
  else
    local slid
    --#include slid
    if slid then
      --#include owned/put_slid
    end
  end
  commit()
  if begun then
    tidy()
  end
  return with_room({ token .. text, shown or false }, id)
end
if not queues then
  if leave(ticket) then
    commit()
  end
  return { LOCKED, lock.holder, lock.till - ms }
end
local changed
--#include queue
if changed then
  commit()
end
return { QUEUED, lock.holder, ahead, look_in }
