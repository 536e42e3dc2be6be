-- The active session, `text`, slides if that is due, by `every`.
if due(active.slid, active.idle, every) then
  --#include slide
  text = fixed(active) .. sub(text, SIZE + 1)
  slid = true
end
