### Nội dung do lệnh `kho status` in ra.
###
### Thuật ngữ, dùng thống nhất trong mọi tệp của thư mục này:
###   site điểm kho · node nút · tier cấp · tree hệ thống kho · parent kho cấp trên · child kho cấp dưới · stand-in kho dự phòng
###   register sổ đăng ký · origin nguồn · author nơi ghi · stream luồng thay đổi · batch lô · segment đoạn · head mốc ký
###   watermark mốc đầy đủ · cursor vị trí nhận · replica bản sao · digest mã đối chiếu · evidence chứng cứ · fork lịch sử thứ hai
###   leader nút chủ · follower nút theo · learner nút học · voter nút biểu quyết · candidate nút ứng cử · majority đa số · term nhiệm kỳ
###   log nhật ký · snapshot bản chụp · uplink kết nối lên cấp trên · link đường truyền · intake việc tiếp nhận
###   transfer truyền toàn bộ · bundle gói dữ liệu · request key khóa yêu cầu · certificate chứng thư số · revoke thu hồi
###   alarm cảnh báo · health tình trạng · table bảng · column cột · row bản ghi · line dòng · key khóa · code list danh mục mã
###   catalogue danh mục đơn vị hành chính · area địa bàn · commune xã · schema lược đồ dữ liệu · entry việc nhập dữ liệu
###   finding điểm bất thường · epoch thế hệ · frame khung tin · peer bên kia · signature chữ ký · protocol giao thức
### Lệnh, mã lỗi và tên cột giữ nguyên.

status-heading = { $name } (điểm kho { $site }, cấp { $tier }), hệ thống kho { $tree }: { $health }
status-answered = nút { $node } (khod { $version }) trả lời lúc { $now }, sổ đăng ký phiên bản { $register }
status-finding = ĐIỂM BẤT THƯỜNG, mức { $severity }: { $finding }
status-alarm = CẢNH BÁO, mức { $severity }, { $subject }, từ { $since }: { $alarm }

status-this-node = nút này: { $role }; { $leader }, nhiệm kỳ { $term }, nhật ký { $log }, đã áp dụng { $applied }, bản chụp nhật ký { $snapshot }
status-leader = nút chủ là { $node }
status-no-leader = chưa có nút chủ
status-column-node = nút
status-column-role = vai trò
status-column-quic = QUIC
status-column-https = HTTPS
status-column-behind-leader = chậm so với nút chủ

status-member-leader = nút chủ
status-member-voter = nút biểu quyết
status-member-learner = nút học

status-member-silent = không rõ, đã im lặng { $age }

status-no-stream = chưa lưu giữ luồng thay đổi nào
status-column-origin = nguồn
status-column-author = nơi ghi
status-column-state = trạng thái
status-column-last-batch = lô cuối
status-column-rows = số bản ghi
status-column-complete-up-to = mốc đầy đủ
status-column-age = tuổi
status-column-lag = chậm
status-column-kept = còn giữ
status-column-digest = mã đối chiếu
status-lag-batches = { $batches } lô
status-lag-batches-and-age = { $batches } lô, { $age }

status-uplink = kết nối lên cấp trên: { $state }
status-uplink-parent = kết nối lên cấp trên: { $state }, điểm kho { $parent }
status-uplink-stand-in = kết nối lên cấp trên: { $state }, điểm kho { $parent } (kho dự phòng)
status-parked = tạm dừng: { $stream }

status-column-child = kho cấp dưới
status-column-site = điểm kho
status-column-connected = đang kết nối
status-column-last-heard = liên lạc lần cuối
status-yes = có
status-no = không

status-disk = đĩa: còn trống { $free } trên { $total }; nhật ký { $log }; { $spaces }

status-seconds = { $count } giây
status-minutes = { $count } phút
status-hours = { $count } giờ
status-days = { $count } ngày

tier-commune = xã
tier-district = huyện
tier-province = tỉnh
tier-region = vùng
tier-central = trung ương
