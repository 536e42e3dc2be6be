-- What there is under one key of the owner's: as load.lua and commit.lua do for a plain one.
local text -- the active session, if it was loaded whole
local lent, deed, time = false, nil, nil -- whether the deed is the last ending; what it was

local function text_of(key, head)
  return head .. (call('HGET', PAYLOADS[key], name)
    or error('BROKEN: ' .. PAYLOADS[key] .. ' has not the payload of ' .. name))
end

local function load(whole)
  lent = false
  active, finished, text, active_lasts, finished_lasts = nil, nil, nil, 0, 0
  local head, other, stored = call('HGET', A, name), call('HGET', F, name), call('HGET', L, name)
  if head then
    active, active_lasts = parse(A, head)
  end
  if other then
    finished, finished_lasts = parse(F, other)
  end
  --#include load_lock
  if active and ms >= active.expires then
    active = nil
  end
  if finished and ms >= finished.expires then
    finished = nil
  end
  if whole and active then
    text = text_of(A, head)
  end
end

-- Whatever the key's own last deed was: the ending of all sessions, if it came later, was the
-- key's too.
local function lend()
  lent = owner.ending ~= NO_ID and (lock.deed == NO_ID or lock.time <= owner.time)
  if lent then
    deed, time = lock.deed, lock.time
    lock.deed, lock.time = owner.ending, owner.time
  end
end

local function commit()
  if lent and lock.deed == owner.ending then
    lock.deed, lock.time = deed, time
  end
  if not lock.there and not lock.needed then
    return
  end
  local at = max(lock.kept, floor(tonumber(lock.token) / 1000))
  if not active and not finished and lock.ticket == NO_ID and ms > at
    and (lock.deed == NO_ID or ms >= lock.time + REMEMBERED) then
    drop(A, active_lasts)
    drop(F, finished_lasts)
    drop(L)
  else
    at = max(at, active_lasts, finished_lasts, lock.till)
    if lock.deed ~= NO_ID then
      at = max(at, lock.time + REMEMBERED)
    end
    if lock.queue ~= '' then
      at = max(at, lock.latest)
    end
    at = min(at + 1000, FOREVER)
    --#include put_lock
  end
  --#include wake
end

-- `answer` and what the owner's sessions share.
local function with_shared(answer)
  return shown and { answer, shown } or answer
end
