### Việc gì đã xảy ra và cần làm gì.

severity-notice = để biết
severity-warning = cần chú ý
severity-critical = nghiêm trọng

about-this_node = nút này
about-member = nút { $node }
about-origin = nguồn { $origin }
about-child = kho cấp dưới { $site }
about-parent = kho cấp trên { $site }

alarm-disk_low = đĩa chứa { $folder } chỉ còn trống { $free_mib } MiB: tạm từ chối các đoạn của kho cấp dưới cho đến khi còn trống { $reserve_mib } MiB
alarm-disk_full = đĩa chứa { $folder } chỉ còn trống { $free_mib } MiB: từ chối cả việc nhập dữ liệu cho đến khi còn trống { $reserve_mib } MiB
alarm-disk_unreadable = không đọc được dung lượng trống của { $folder }: { $error }
alarm-storage_failed = ổ đĩa của nút này gặp lỗi: { $error }
alarm-member_silent = nút { $node } của điểm kho không nhận dữ liệu; hãy kiểm tra nút này, hoặc thay nút bằng lệnh `kho node remove` và `kho node add`
alarm-member_unreachable = nút { $node } của điểm kho, theo ghi nhận ở địa chỉ { $address }, đã { $silent_seconds } giây không trả lời nút này ({ $error }). Hãy xem khod có đang chạy ở đó không và mạng có cho UDP đi qua không. Nếu nút đã chuyển đi, hãy ghi địa chỉ mới vào mục `addresses` của khod.toml, ở đó và ở đây, rồi khởi động lại khod; nếu nút đã mất, hãy thay nút bằng lệnh `kho node remove` và `kho node add`
alarm-node_unconfirmed = nút { $node } hoạt động như thành viên của điểm kho, nhưng không thành viên nào mà nút này biết xác nhận: yêu cầu của nút đó bị từ chối. Nếu nút đó được thêm trong lúc nút này vắng mặt, hãy chạy `kho node confirm { $node }` tại nút này; nếu không, hãy tìm hiểu ai vận hành nút đó
alarm-heads_refused = điểm kho từ chối các mốc ký của nguồn { $origin } do nút này ký ({ $reason }); hãy đối chiếu khóa ký của nút bằng lệnh `kho register show`
alarm-clock_ahead = mốc ký của nguồn { $origin } mang thời gian nhanh hơn đồng hồ của nút này quá { $minutes_max } phút: bản ghi vẫn được lưu giữ, nhưng mốc đầy đủ không tiến thêm; hãy chỉnh lại đồng hồ
alarm-machine_clock_ahead = đồng hồ của máy này chỉ { $machine }, nhưng không có gì xác nhận đã qua { $expected }: mốc ký và lô mới được ghi theo thời gian đó. Hãy chỉnh lại đồng hồ; nếu đồng hồ đã đúng, hãy chạy `kho site confirm-time`
alarm-machine_clock_behind = đồng hồ của máy này chỉ { $machine }, nhưng theo dữ liệu điểm kho đã ghi nhận hoặc theo kho cấp trên thì đang là { $expected }. Hãy chỉnh lại đồng hồ; nếu đồng hồ đã đúng, hãy chạy `kho site confirm-time` và kiểm tra đồng hồ của kho cấp trên
alarm-segment_refused = một đoạn của nguồn { $origin } do điểm kho { $carrier } chuyển đến đã bị từ chối: { $reason }
alarm-child_misbehaved = điểm kho { $child } vi phạm giao thức ({ $reason }); kết nối của điểm kho này đã bị đóng. Hãy kiểm tra điểm kho đó bằng lệnh `kho status`
alarm-outcome_out_of_place = điểm kho này đã trả lời khung tin { $frame } của điểm kho { $child } bằng một kết quả không tương ứng; hãy báo lỗi phần mềm này
alarm-evidence_folder_full = thư mục { $folder } đã đầy; hãy xem xét nội dung rồi dọn thư mục
alarm-evidence_not_kept = không lưu được dữ liệu bị từ chối vào { $folder }: { $error }
alarm-parent_misbehaved = kho cấp trên { $parent } vi phạm giao thức ({ $reason }); kết nối đã bị ngắt. Hãy kiểm tra kho cấp trên bằng lệnh `kho status`
alarm-stream_refused = kho cấp trên { $parent } từ chối nguồn { $origin }: { $reason }
alarm-no_common_cursor = kho cấp trên { $parent } và điểm kho này không tìm được vị trí nhận chung để tiếp tục nguồn { $origin }: { $reason }
alarm-parent_went_back = kho cấp trên { $parent } đang ở vị trí { $now } của nguồn { $origin }, trước đó đã xác nhận { $before }: kho cấp trên đã được khôi phục về trạng thái cũ hơn; toàn bộ phần còn thiếu đang được gửi lại
alarm-site_behind_parent = kho cấp trên { $parent } đang ở vị trí { $claimed } của nguồn { $origin } do chính điểm kho này ghi, nhưng điểm kho chỉ có đến { $held }: điểm kho đã bị đưa về trạng thái cũ: việc nhập dữ liệu đã bị đóng; hãy xem việc cần làm bằng lệnh `kho fork list`
alarm-members_set_back = nhật ký của nút chủ, nút { $leader }, trái với những gì đã được chấp thuận và đang nằm trên nút này: các nút khác của điểm kho đã bị đưa về trạng thái cũ. Nút này không nhận gì từ đó. Hãy giữ ổ đĩa của nút, trên đó còn phần các nút kia đã mất; hãy xem bằng lệnh `kho fork list` tại nút chủ
alarm-head_unanswered = đã { $seconds } giây không có đa số nút nào của điểm kho cho biết kết quả mình đã tính tại mốc ký mới nhất của nguồn { $origin }, và cũng không nút nào tính khác. Việc nhập dữ liệu vẫn tiếp tục, nhưng không mốc ký nào được chấp thuận và không có gì mới được gửi lên. Hãy xem `kho status` tại từng nút: khởi động các nút đã dừng; với nút chậm nhiều, hãy chờ hoặc thay ổ đĩa nhanh hơn
alarm-nodes_disagree = các nút sau của điểm kho đã tính ra kết quả khác với nút chủ này: { $nodes }. Không có đa số nào cho biết bên nào đúng, nên không mốc ký nào được chấp thuận. Hãy khởi động các nút còn lại của điểm kho; nếu tất cả đang chạy, lệnh `kho verify` tại từng nút cho thấy ổ đĩa nào bị hỏng: hãy đưa nút đó ra bằng lệnh `kho node remove`
alarm-child_set_back = điểm kho { $child } đang ở vị trí { $held } của nguồn { $origin } do chính điểm kho đó ghi, hoặc ở một lịch sử khác của nguồn, còn điểm kho này đang ở { $here }: điểm kho đó đã bị đưa về trạng thái cũ, hoặc đang chạy hai lần. Lịch sử đó không được tiếp nhận. Hãy xem bằng lệnh `kho fork list` tại đó; gói dữ liệu xuất từ điểm kho này đưa lại phần đã mất
alarm-epochs_differ = kho cấp trên { $parent } giữ thế hệ { $theirs } của nguồn { $origin }, điểm kho này giữ thế hệ { $ours }; hãy xem bằng lệnh `kho fork list`
alarm-stream_unreadable = không đọc được nguồn { $origin } để gửi lên kho cấp trên: { $error }; hãy chạy `kho verify`
alarm-frame_not_sent = không gửi được một khung tin cho kho cấp trên: { $error }; hãy báo lỗi phần mềm này
alarm-register_refused = sổ đăng ký do kho cấp trên chuyển xuống đã bị từ chối: { $error }
alarm-register_doubled = có hai sổ đăng ký cùng được ký với phiên bản { $version }: điểm kho này giữ sổ có mã băm { $held } và nhận được sổ có mã băm { $given }, sổ này bị từ chối. Hãy tìm xem ai đã ký cả hai; sổ đăng ký tiếp theo phải có phiên bản cao hơn
alarm-child_register_differs = điểm kho { $child } cho biết đang giữ một sổ đăng ký phiên bản { $version } khác với điểm kho này: mã băm { $held }, ở đây là { $here }. Hãy đối chiếu cả hai bằng lệnh `kho register show --text`; một sổ đăng ký phiên bản cao hơn sẽ chấm dứt việc này
