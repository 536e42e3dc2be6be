-- Most writes end here: the session is as it was read, and the lock is free, or the writer's, and
-- nobody waits for it.
local stored, head = call('GET', L), call('GETRANGE', A, 0, SIZE - 1)
if #head == SIZE and byte(head) == 1 then
  local _, life, write, version, started, updated, slid, idle, ends, expires, owner =
    unpack(HEAD, head)
  local may, token, kept, lasts, released, deed, time, ticket, lease, till, holder
  if not stored then
    may = ARGV[7] == '' and updated <= ms
  elseif #stored >= LOCK_SIZE and byte(stored) == 3 then
    local size
    _, token, kept, lasts, released, deed, time, ticket, lease, till, size = unpack(LOCK, stored)
    holder = sub(stored, LOCK_SIZE + 1)
    if #holder == size then
      if ARGV[7] == '' then
        may = ticket == NO_ID
      else
        may = ARGV[7] == 'here' and ticket == ARGV[8] and lease == ARGV[9] and lease ~= CLAIM
          and ms < till
      end
    end
  end
  if may and owner == 0 and ms < expires and write ~= id and life == ARGV[3]
    and version == tonumber(ARGV[4]) and write == ARGV[5] then
    expires = idle > 0 and min(ms + idle, ends) or ends
    head = pack(HEAD, 1, life, id, version + 1, started, ms, ms, idle, ends, expires, 0)
    local at = max(expires, ms + REMEMBERED)
    store(A, head .. ARGV[6], at)
    if stored then
      if ARGV[7] ~= '' and ARGV[11] ~= '' then
        released, ticket, lease, till, holder = ticket, NO_ID, NO_TOKEN, 0, ''
      end
      time = max(ms, time)
      lasts = min(max(lasts, at + 1000, time + REMEMBERED + 1000), FOREVER)
      store(L, pack(LOCK, 3, token, kept, lasts, released, id, time, ticket, lease, till, #holder)
        .. holder, lasts)
    end
    return head
  end
end
