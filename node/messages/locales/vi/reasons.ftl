### Lý do từ chối, dừng hoặc hỏng, là một phần của câu khác.

refusal-unknown_origin = sổ đăng ký không có nguồn { $origin }
refusal-other_epoch = nguồn { $origin } đang ở thế hệ { $ours }, bên gửi ở thế hệ { $theirs }
refusal-gap = nguồn { $origin } còn thiếu các lô từ { $wanted } đến { $given }
refusal-bad_signature = mốc ký của nguồn { $origin } tại { $seq } không được ký bằng khóa ghi trong sổ đăng ký
refusal-bad_chain = các lô của nguồn { $origin } không dẫn đến mã băm chuỗi của mốc ký tại { $seq }
refusal-forked = nguồn { $origin } có hai lịch sử khác nhau tại { $seq }; lịch sử thứ hai được lưu làm chứng cứ: hãy xem bằng lệnh `kho fork list`
refusal-digest_mismatch = bản ghi của nguồn { $origin } tại { $seq } không khớp với mã đối chiếu của mốc ký; không bản ghi nào được nhận và chứng cứ được lưu lại: hãy xem bằng lệnh `kho fork list` và chạy `kho verify`
refusal-stopped = nguồn { $origin } đã bị dừng tiếp nhận tại { $seq } ({ $reason }); hãy chạy `kho verify`, sau đó `kho origin resume`
refusal-malformed = lô { $seq } của nguồn { $origin } sai định dạng: { $error }
refusal-register = sổ đăng ký bị từ chối: { $error }
refusal-register_doubled = đang có một sổ đăng ký khác với phiên bản { $version }: mã băm { $held }, còn sổ được đưa vào là { $given }
refusal-transfer = việc truyền toàn bộ nguồn { $origin } không khớp: { $error }
refusal-off_path = theo sổ đăng ký, luồng thay đổi của nguồn { $origin } không đi qua điểm kho { $site }: chỉ nơi ghi và các kho cấp trên của nơi ghi mới giữ nguồn này
refusal-on_path = theo sổ đăng ký, luồng thay đổi của nguồn { $origin } đi qua điểm kho { $site }: không được lấy nguồn này ra khỏi đó
refusal-above_level = lệnh này, hoặc một cột trong lệnh, chỉ có từ mức phiên bản { $command }, còn điểm kho đang làm việc ở mức { $site }: hãy xem `kho upgrade status`, nâng mức bằng `kho upgrade raise`
refusal-column_above_level = lô { $seq } của nguồn { $origin } có cột { $column }, cột này chỉ có từ mức phiên bản { $needed }, còn điểm kho phải nhận lô đang làm việc ở mức { $level }: hãy xem `kho upgrade status` ở đó, nâng mức bằng `kho upgrade raise`
refusal-transfer_taken = điểm { $carrier } đang truyền toàn bộ nguồn { $origin }; điểm khác chỉ được truyền khi việc đó đã xong hoặc đã ngừng một thời gian
refusal-no_register = điểm kho này chưa có sổ đăng ký; hãy cấp sổ đăng ký bằng lệnh `kho register apply`

stop-digest_mismatch = mã đối chiếu không khớp

park-forked = kho cấp trên giữ thế hệ { $theirs }, điểm kho này giữ thế hệ { $ours }; hãy xem bằng lệnh `kho fork list`
park-local_storage = đọc dữ liệu bị lỗi: { $detail }; hãy chạy `kho verify`
park-no_common_cursor = điểm kho này và kho cấp trên không tìm được vị trí nhận chung để tiếp tục luồng thay đổi: { $cause }

restart-took_less = kho cấp trên nhận ít hơn phần đã gửi
restart-transfer_stalled = việc truyền toàn bộ nguồn không tiến thêm
restart-trimmed = các lô đã bị cắt bỏ trước khi kho cấp trên nhận được
restart-no_such_place = điểm kho này không có vị trí đó trong luồng thay đổi

outcome-other_outcome = kết quả ngoài dự kiến: { $detail }

violation-identity_mismatch = bên kia tự xưng là nút { $claimed_node } của điểm kho { $claimed_site }, nhưng chứng thư số ghi nút { $node } của điểm kho { $site }
violation-welcome_mismatch = bên kia chào với tư cách điểm kho { $site }, mức phiên bản { $level }
violation-frame_above_level = bên kia gửi khung tin { $frame }, loại khung tin chưa có ở mức phiên bản { $level } mà hai bên đang làm việc
violation-frame_out_of_turn = bên kia gửi khung tin { $frame } không đúng lượt
violation-frame_unreadable = bên kia gửi dữ liệu không phải là khung tin: { $detail }
violation-transport_misused = bên kia vi phạm quy tắc của tầng truyền tải: { $detail }
violation-too_many_streams = bên kia yêu cầu vị trí nhận của hơn { $streams_max } luồng thay đổi cùng một lúc
violation-frame_id_not_rising = bên kia gửi khung tin { $id } sau { $last }
violation-cursor_not_requested = bên kia gửi khung tin của nguồn { $origin } mà chưa từng yêu cầu vị trí nhận của nguồn này
violation-other_history_acknowledged = bên kia xác nhận { $acknowledged } của nguồn { $origin }, điểm kho này có { $held }
violation-answer_of_other_origin = bên kia trả lời { $id } của nguồn { $origin } bằng một nguồn khác
violation-answer_not_awaited = bên kia trả lời { $id } trong khi không ai chờ trả lời

link-unreachable = không liên lạc được với kho cấp trên: { $detail }
link-dial_refused = kho cấp trên từ chối nút này: { $detail }
link-wrong_peer = bên trả lời không phải là kho cấp trên: { $detail }
link-connection_lost = kết nối bị mất: { $detail }
link-send_stalled = kết nối đã mất hoặc không gửi đi được
link-dial_timed_out = quá thời gian chờ kết nối đến kho cấp trên
link-welcome_timed_out = quá thời gian chờ lời chào của kho cấp trên
link-answer_timed_out = quá thời gian chờ câu trả lời của kho cấp trên
link-ended_by_parent = kho cấp trên đã đóng kết nối: { $reason }
link-protocol_broken = kho cấp trên vi phạm giao thức: { $reason }
link-redirect_loop = các nút của kho cấp trên chuyển hướng điểm kho này vòng quanh nhau

goodbye-stopping = nút đó dừng hoạt động
goodbye-no_longer_leader = nút đó không còn là nút chủ của điểm kho
goodbye-no_leader = điểm kho đó hiện chưa có nút chủ
goodbye-busy = điểm kho đó đang quá tải; hãy kết nối lại sau { $retry_after_ms } ms
goodbye-no_common_level = không có mức phiên bản chung: điểm kho từ chối làm việc ở mức { $here } và bản Kho ở đó hỗ trợ { $here_supports }, bên kia làm việc ở mức { $there } và hỗ trợ { $there_supports }; hãy cài bản Kho mới hơn ở bên cũ hơn, xem `kho upgrade status`
goodbye-level_raised = điểm kho nay làm việc ở mức phiên bản { $level }; đường truyền được mở lại
goodbye-not_parent = theo sổ đăng ký phiên bản { $register_version }, điểm kho { $parent } không phải là kho cấp trên của điểm kho { $child }; hãy sửa sổ đăng ký bằng lệnh `kho register issue`
goodbye-peer_misbehaved = bên kia vi phạm giao thức: { $reason }
goodbye-idle_timeout = bên kia không gửi gì trong thời gian chờ
goodbye-preferred_parent_back = kho cấp trên đứng trước trong sổ đăng ký đã trả lời trở lại
goodbye-continues_elsewhere = kho cấp dưới tiếp tục ở một nút khác

shown-site = điểm kho { $site }
shown-node = nút { $node } của điểm kho này
shown-file = một gói dữ liệu

diverged-stream = nguồn { $origin } sau lô { $seq }
diverged-state = trạng thái sau mục { $position } của nhật ký điểm kho

evidence-another_history = một lịch sử khác của nguồn này
evidence-digest_mismatch = các bản ghi không có mã đối chiếu mà mốc ký nêu
evidence-chain_mismatch = các lô không dẫn đến mã băm chuỗi của mốc ký
evidence-held_batches_altered = các lô đang giữ đã bị sửa đổi: chúng không dẫn đến mã băm chuỗi của mốc ký
evidence-transfer_of_another_history = các bản ghi của lần truyền toàn bộ thuộc một lịch sử khác với lịch sử đang giữ
evidence-transfer_digest_mismatch = các bản ghi của lần truyền toàn bộ không có mã đối chiếu mà mốc ký nêu
evidence-transfer_chain_mismatch = các lô của lần truyền toàn bộ không dẫn đến mã băm chuỗi của mốc ký
