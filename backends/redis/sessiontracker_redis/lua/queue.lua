-- In line: at the end the first time, then a sign of life where it stands.
local waiter = { ticket, holder, looks, ms, ARGV[10] }
local ahead
changed = true
for index, known in ipairs(lock.queue) do
  if known[TICKET] == ticket then
    ahead = index - 1
    -- Looks in quick succession say nothing new, and then change nothing; but for those at a
    -- claim, which may begin with this one, and has to be survived.
    local quick = known[EVERY] == looks and ms - known[SEEN] < floor(looks / 4)
    changed = not quick or lock.lease == CLAIM
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
-- All look when the lease ends: those ahead may be dead by then.
local look_in = max(1, min(looks, lock.till - ms))
